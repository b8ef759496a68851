SELECT learn_tables()
