"""One attempt of one run: claimed, executed, spoken with, judged and recorded."""
