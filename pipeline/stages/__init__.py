"""One stage each: what it makes, and the function that makes it."""
