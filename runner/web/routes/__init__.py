"""What is answered, one resource a file."""
