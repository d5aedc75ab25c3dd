"""Reading a table: its form, the kinds of its columns, what is known of them, and which rows are held out."""
