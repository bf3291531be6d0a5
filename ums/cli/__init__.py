"""The command line: one file a noun or verb. A command imports what it needs, so that ``--help`` is instant."""
