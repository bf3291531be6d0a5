"""What UMS does, one verb a file. A use case takes ports and values; it knows no library and no adapter."""
