"""What the notebooks share: reading tables, holding rows out, the estimators, measuring, figures, export."""
