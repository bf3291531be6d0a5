"""What data planes and OCI clients speak: plain WSGI, before and beside the API."""
