"""What costs how much: one command per question, JSON and a Markdown table out."""
