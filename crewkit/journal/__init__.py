"""One append-only list of events per run. Everything else that is known of a run is read out of it."""
