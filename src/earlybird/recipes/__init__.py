"""End-to-end jobs: typed settings, stages, one file per task, and the YAML recipes beside them."""
