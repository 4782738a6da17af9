"""The page of a rehearsal: one self-contained HTML file, made from `templates/rehearsal.html`.
"""
def page(results): return ""
