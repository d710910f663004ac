"""The warm path inside: the zygote, its supervisor, inits, and standbys."""
