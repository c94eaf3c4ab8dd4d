"""The front page: is everything all right, and what must I do?"""
