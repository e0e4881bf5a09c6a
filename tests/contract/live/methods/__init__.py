"""One driver for each method of the SDK: it calls it for real, and checks what came of it."""
