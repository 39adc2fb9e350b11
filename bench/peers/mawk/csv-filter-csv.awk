# CSV without quotes -> header and rows whose fifth field is active -> CSV. Use with -F,
NR == 1 || $5 == "active"
