"""Large matrices of items by items, made and inverted in little memory."""
