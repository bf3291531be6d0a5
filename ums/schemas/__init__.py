"""JSON Schemas of the files that people write, generated from the models that check them."""
