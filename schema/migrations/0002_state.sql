-- How far a rank had come when it ended, as its node saw it last: what was in memory alone is shown after a restart too.
ALTER TABLE ranks ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ranks ADD COLUMN phase TEXT NOT NULL DEFAULT 'setup';
