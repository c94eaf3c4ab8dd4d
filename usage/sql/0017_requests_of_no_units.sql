-- A request of 0 units costs the minimum of its price, by whatever way it comes in: the log takes it.

-- The new rule follows from the old one for all that is there: nothing is looked through while the log is locked
-- (0018 has it looked through, without that lock).
ALTER TABLE usage_requestlog DROP CONSTRAINT request_is_plausible;
ALTER TABLE usage_requestlog ADD CONSTRAINT request_is_plausible CHECK (
    status BETWEEN 100 AND 599 AND units >= 0 AND credits >= 0 AND (credits = 0) = (entry_id IS NULL)) NOT VALID;
