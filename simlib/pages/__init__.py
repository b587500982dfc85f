"""What only pages need: their charts, tables and sentences, one module a page."""
