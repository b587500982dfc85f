"""The book's side of Sphinx: offline assets, a cache that knows the code, charts, provenance.

This file imports nothing: a page that calls `provenance` must not depend on the build machinery,
or every edit of the machinery would execute every page again.
"""
