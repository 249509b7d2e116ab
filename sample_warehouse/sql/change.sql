-- change: people leave, plans and values move, addresses change, one of two sharers goes.
-- Who signed up in this very step takes no part (signed_up_at < the start of the step).

-- Experiments forget the ones who leave; first, while their user_id can still be looked up.
DELETE FROM ${schema}.experiment_assignments
WHERE user_id IN (
  SELECT user_id FROM ${schema}.customers
  WHERE ${position} < ${leave_to} AND signed_up_at < TIMESTAMP '${step_start}'
);

DELETE FROM ${schema}.customers
WHERE ${position} < ${leave_to} AND signed_up_at < TIMESTAMP '${step_start}';

UPDATE ${schema}.customers
SET
  plan = CASE plan WHEN 'free' THEN 'basic' WHEN 'basic' THEN 'premium' ELSE 'free' END,
  updated_at = ${changed_at}
WHERE ${position} >= ${leave_to} AND ${position} < ${plan_to}
  AND signed_up_at < TIMESTAMP '${step_start}';

-- A new plan is a new start: such customers move on to the next arm of their experiments.
UPDATE ${schema}.experiment_assignments
SET assignment = ${next_assignment}, offer = ${next_offer}
WHERE user_id IN (
  SELECT user_id FROM ${schema}.customers
  WHERE ${position} >= ${leave_to} AND ${position} < ${plan_to}
    AND signed_up_at < TIMESTAMP '${step_start}'
);

-- A big order: it is in orders, it lifts the lifetime value, it halves the risk of losing them.
INSERT INTO ${schema}.orders
SELECT
  highest.order_id + row_number() OVER (ORDER BY buyers.customer_id),
  buyers.customer_id,
  buyers.ordered_at,
  CAST(250 AS NUMERIC(12, 2))
FROM (
  SELECT DISTINCT customer_id, ${changed_at} AS ordered_at FROM ${schema}.customers
  WHERE ${position} >= ${plan_to} AND ${position} < ${value_to}
    AND signed_up_at < TIMESTAMP '${step_start}'
) AS buyers
CROSS JOIN (SELECT max(order_id) AS order_id FROM ${schema}.orders) AS highest;

UPDATE ${schema}.experiment_assignments
SET churn_risk = churn_risk / 2
WHERE user_id IN (
  SELECT user_id FROM ${schema}.customers
  WHERE ${position} >= ${plan_to} AND ${position} < ${value_to}
    AND signed_up_at < TIMESTAMP '${step_start}'
);

UPDATE ${schema}.customers
SET
  lifetime_value = lifetime_value + CAST(250 AS NUMERIC(12, 2)),
  churn_risk = churn_risk / 2,
  updated_at = ${changed_at}
WHERE ${position} >= ${plan_to} AND ${position} < ${value_to}
  AND signed_up_at < TIMESTAMP '${step_start}';

UPDATE ${schema}.customers
SET
  email = 'moved' || CAST(customer_id AS TEXT) || '.step${step}@example.net',
  updated_at = ${changed_at}
WHERE ${position} >= ${value_to} AND ${position} < ${email_to}
  AND signed_up_at < TIMESTAMP '${step_start}';

-- One of two sharers goes: in half of the pairs the owner of the address, else the borrower. A
-- pair is named by its borrower; nothing happens when its two addresses are not one any more.
DELETE FROM ${schema}.customers
WHERE customer_id IN (
  SELECT CASE WHEN mod(borrower.customer_id, 2) = 0 THEN borrower.customer_id
    ELSE owner.customer_id END
  FROM (
    SELECT numbered.*, ${email_bucket} AS email_bucket
    FROM (
      SELECT
        customer_id,
        email,
        mod(customer_id - 1, 1000) AS place,
        customer_id - 1 - mod(customer_id - 1, 1000) AS thousand
      FROM ${schema}.customers
      WHERE ${sharer_position} < ${sharer_to} AND signed_up_at < TIMESTAMP '${step_start}'
    ) AS numbered
  ) AS borrower
  JOIN ${schema}.customers AS owner
    ON owner.customer_id = borrower.thousand + mod(borrower.place + 500, 1000) + 1
    AND lower(trim(owner.email)) = lower(trim(borrower.email))
  WHERE borrower.email_bucket BETWEEN 40 AND 59
    AND borrower.email <> ''
);
