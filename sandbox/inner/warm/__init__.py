"""The warm path inside: the zygote, who watches over it, and what it forks to stand by."""
