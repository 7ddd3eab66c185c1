"""The paper's claims as statistics over the models' runs."""
