-- What was agreed to for a client is forgotten with the client.
CREATE INDEX consents_by_client ON consents (client_id);
