"""What MCP clients can ask of Atlas: submit plans and goals, follow runs, answer questions."""
