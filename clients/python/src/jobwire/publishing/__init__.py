"""Publishing events of a job: accepted at once, stored in order by a thread in the background."""
