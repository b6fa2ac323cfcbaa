"""Values of a column: counting them, looking them up, hashing them; lists of them."""
