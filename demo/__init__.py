"""The browser app: layout and wiring. No model code lives here."""
