"""Reading the user's data: whatever file, layout or place, as samples."""
