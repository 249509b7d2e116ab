-- experiment_assignments: 400 of 1,000 customers are in an experiment, 20 of them in two. The
-- user_id is taken as it stands in customers, with all its faults.
INSERT INTO ${schema}.experiment_assignments
WITH numbered AS (
  SELECT
    customer_id AS i,
    user_id,
    churn_risk,
    mod(customer_id - 1, 1000) AS place,
    customer_id - 1 - mod(customer_id - 1, 1000) AS thousand
  FROM ${schema}.customers
  WHERE ${who}
),
chosen AS (
  SELECT i, user_id, churn_risk, turns.turn, i * 2 + turns.turn AS draw
  FROM (SELECT numbered.*, ${experiment_bucket} AS experiment_bucket FROM numbered) AS bucketed
  CROSS JOIN (VALUES (0), (1)) AS turns (turn)
  WHERE experiment_bucket < CASE WHEN turns.turn = 0 THEN 400 ELSE 20 END
),
drawn AS (
  SELECT
    user_id,
    churn_risk,
    -- The second experiment is always another one than the first.
    1 + mod(mod(${first_experiment}, 4) + turn, 4) AS experiment,
    1 + mod(${arm}, 3) AS arm,
    mod(${added}, ${added_limit}) AS added_seconds
  FROM chosen
),
assigned AS (
  SELECT drawn.*, (ARRAY['control', 'variant_a', 'variant_b'])[arm] AS assignment FROM drawn
)
SELECT
  user_id,
  (ARRAY['exp-101', 'exp-102', 'exp-103', 'exp-104'])[experiment],
  (ARRAY['paywall_price', 'homepage_layout', 'newsletter_day', 'trial_length'])[experiment],
  assignment,
  TIMESTAMP '${added_from}' + added_seconds * INTERVAL '1 second',
  churn_risk,
  ${offer}
FROM assigned;
