"""The store: a study's folder, which is its queue as well."""
