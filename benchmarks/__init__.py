"""How fast a run is, beside what it could be: ``make bench``; the page is docs/performance.md."""
