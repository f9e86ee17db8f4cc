"""Facts and results as terminal text and pictures; no arithmetic lives here."""
