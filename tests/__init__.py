"""The tests of UMS; see README.md beside this file."""
