DROP INDEX memories_terms
