"""The figures of the front page, folded by a job."""
