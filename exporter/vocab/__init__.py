"""Token maps of other engines: reading, judging, converting and writing which target tokens a drafter's head keeps."""
