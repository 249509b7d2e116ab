-- customers: every value is a function of the customer number i and nothing else.
--
-- A bucket is 0..999; each 1,000 consecutive customers hold every bucket exactly once, so the
-- shares of mess are exact. The partner of a customer is the one half of that thousand away: the
-- buckets of the two always differ by 500, so a customer who borrows never meets another borrower.
INSERT INTO ${schema}.customers
WITH numbered AS (
  SELECT i, mod(i - 1, 1000) AS place, i - 1 - mod(i - 1, 1000) AS thousand
  FROM (${numbers}) AS numbers
),
bucketed AS (
  SELECT
    i,
    thousand + mod(place + 500, 1000) + 1 AS partner,
    ${email_bucket} AS email_bucket,
    ${user_bucket} AS user_bucket,
    ${name_bucket} AS name_bucket,
    ${churn_bucket} AS churn_bucket,
    ${twin_bucket} AS twin_bucket
  FROM numbered
),
-- Five of a thousand customers have a second row: three are the same row again, two differ.
copied AS (
  SELECT bucketed.*, (copies.copy = 2 AND twin_bucket >= 3) AS is_stale_copy
  FROM bucketed CROSS JOIN (VALUES (1), (2)) AS copies (copy)
  WHERE copies.copy = 1 OR twin_bucket < 5
),
-- Whose address, whose values and whose user_id: one's own, or borrowed from the partner.
seeded AS (
  SELECT
    i,
    email_bucket,
    user_bucket,
    is_stale_copy,
    CASE WHEN email_bucket BETWEEN 40 AND 59 THEN partner ELSE i END AS address_seed,
    CASE WHEN email_bucket BETWEEN 40 AND 49 THEN partner ELSE i END AS value_seed,
    CASE WHEN user_bucket BETWEEN 20 AND 24 THEN partner ELSE i END AS user_seed,
    CASE WHEN email_bucket BETWEEN 40 AND 49 THEN mod(name_bucket + 500, 1000)
      ELSE name_bucket END AS name_bucket,
    CASE WHEN email_bucket BETWEEN 40 AND 49 THEN mod(churn_bucket + 500, 1000)
      ELSE churn_bucket END AS churn_bucket
  FROM copied
),
drawn AS (
  SELECT
    i,
    email_bucket,
    user_bucket,
    name_bucket,
    churn_bucket,
    is_stale_copy,
    user_seed,
    (ARRAY[${plain_names}])[1 + mod(${address_name}, 26)]
      || '.' || (ARRAY[${last_names}])[1 + mod(${address_last}, 16)]
      || CAST(address_seed AS TEXT) AS local_part,
    (ARRAY['Example.COM', 'Example.com', 'Example.ORG', 'Example.Net', 'Mail.Example.com',
      'Post.Example.ORG', 'News.Example.net'])[1 + mod(${address_domain}, 7)] AS domain,
    1 + mod(${value_name}, 26) AS name_index,
    -- 0..451; its square is the lifetime value in cents, above 1000.00 from 317 on (29.9 %).
    mod(${value_worth}, 452) AS worth,
    mod(${value_cents}, 100) AS odd_cents,
    mod(${value_plan}, 100) AS plan_draw,
    1 + mod(${value_country}, 10) AS country_index,
    mod(${value_churn}, 10000) AS churn_draw,
    mod(${signed_up}, 189000000) AS signed_up_seconds,
    mod(${updated}, 31000000) AS updated_seconds
  FROM seeded
)
SELECT
  i,
  CASE
    WHEN user_bucket < 10 THEN NULL
    WHEN user_bucket < 15 THEN ''
    WHEN user_bucket < 18 THEN ' ' || ${user_name}
    WHEN user_bucket < 20 THEN ${user_name} || ' '
    ELSE ${user_name}
  END,
  CASE
    WHEN email_bucket < 30 THEN local_part || '@' || domain
    WHEN email_bucket < 40 THEN ' ' || local_part || '@' || domain || ' '
    WHEN email_bucket BETWEEN 55 AND 59 THEN upper(local_part || '@' || domain)
    WHEN email_bucket BETWEEN 60 AND 69 THEN NULL
    WHEN email_bucket BETWEEN 70 AND 74 THEN ''
    WHEN email_bucket = 75 THEN '  '
    WHEN email_bucket BETWEEN 76 AND 78 THEN 'no-at-sign' || CAST(i AS TEXT)
    WHEN email_bucket BETWEEN 79 AND 81 THEN 'two' || CAST(i AS TEXT) || '@@' || lower(domain)
    WHEN email_bucket BETWEEN 82 AND 83
      THEN 'spaces in' || CAST(i AS TEXT) || '@' || lower(domain)
    WHEN email_bucket BETWEEN 84 AND 98
      THEN lower(local_part) || '+' || (ARRAY['news', 'shop', 'daily'])[1 + mod(i, 3)]
        || '@' || lower(domain)
    ELSE lower(local_part || '@' || domain)
  END,
  CASE
    WHEN name_bucket < 40 THEN (ARRAY[${native_names}])[name_index]
    WHEN name_bucket < 45 THEN NULL
    ELSE (ARRAY[${plain_names}])[name_index]
  END,
  -- A valued customer is more often a paying one: 20 % of them are on the free plan, else 60 %.
  CASE
    WHEN plan_draw + CASE WHEN worth >= 317 THEN 40 ELSE 0 END < 60
      THEN CASE WHEN is_stale_copy THEN 'basic' ELSE 'free' END
    WHEN is_stale_copy THEN 'free'
    WHEN plan_draw + CASE WHEN worth >= 317 THEN 40 ELSE 0 END < 85 THEN 'basic'
    ELSE 'premium'
  END,
  (ARRAY['US', 'GB', 'DE', 'FR', 'ES', 'PL', 'JP', 'BR', 'SE', 'IN'])[country_index],
  ${worth_in_money},
  CASE WHEN churn_bucket < 40 THEN NULL
    ELSE CAST(churn_draw AS DOUBLE PRECISION) / 10000 END,
  ${signed_up_at},
  CASE WHEN is_stale_copy THEN ${signed_up_at} ELSE ${updated_at} END
FROM drawn;
