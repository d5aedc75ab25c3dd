"""What is learned with: families of estimators and their comparison, features made from others, a look inside."""
