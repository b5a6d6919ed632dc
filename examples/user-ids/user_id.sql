CREATE FUNCTION stream_user_id(claim text, prefix text DEFAULT '') RETURNS text IMMUTABLE LANGUAGE sql AS $$
  WITH utf8 AS (
    SELECT convert_to(claim, 'UTF8') AS bytes, CASE prefix WHEN '' THEN '' ELSE prefix || '@--' END AS start
  ), mapped AS (
    SELECT start, bytes, start || string_agg(
      CASE WHEN b BETWEEN 48 AND 57 OR b BETWEEN 65 AND 90 OR b BETWEEN 97 AND 122 OR b IN (45, 95)
             OR b = 64 AND (i = length(bytes) - 1 OR get_byte(bytes, i + 1) <> 45)
           THEN chr(b)
           ELSE '@-' || upper(lpad(to_hex(b), 2, '0')) END, '' ORDER BY i) AS id
    FROM utf8, generate_series(0, length(bytes) - 1) AS i, get_byte(bytes, i) AS b
    GROUP BY start, bytes
  )
  SELECT CASE WHEN length(id) <= 255 THEN id ELSE start || '@-sha256-' || encode(sha256(bytes), 'hex') END FROM mapped
$$;
