"""Files, folders, sockets and limits of the operating system, as all parts of fimble use them."""
