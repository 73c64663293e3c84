"""Here trained agents, searches and referees meet: matches with intervals, ratings, mistakes on solved positions."""
