"""Folders of documents, and which of them agents read."""
