"""What is written to the terminal: tables, pages, and the only way there."""
