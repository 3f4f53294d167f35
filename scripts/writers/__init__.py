"""What `make-fixtures` is made of: the rows, the rule, and the ways to write the rows."""
