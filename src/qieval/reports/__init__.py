"""Reports: sections as data, kept free of small numbers, rendered to HTML or Markdown."""
