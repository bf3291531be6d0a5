"""The rim: one library, one file. Each adapter fits a port and raises only errors of ``ums.domain.errors``."""
