"""What `MotionGallery` is made of: takes, embedding in shards, windows on disk, exact and approximate search, moments.

| module | from | to |
| --- | --- | --- |
| `sources` | lists, data sets, folders | takes that are read one at a time |
| `build` | takes | windows with embeddings, in shards |
| `identity` | model and processor | a record to compare them by |
| `storage` | windows | Arrow or Parquet files, and back |
| `vectors` | windows | a gallery searched by vectors |
| `search`, `index` | vectors and queries | the best rows; hits without duplicates |
| `localization` | a take and a text | moments, and a curve over time |
"""
