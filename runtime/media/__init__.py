"""Reading and writing of video, sound and images."""
