-- tables: no key and no constraint, because the data breaks every one of them.
CREATE TABLE ${schema}.customers (
  customer_id BIGINT,
  user_id TEXT,
  email TEXT,
  first_name TEXT,
  plan TEXT,
  country TEXT,
  lifetime_value NUMERIC(12, 2),
  churn_risk DOUBLE PRECISION,
  signed_up_at TIMESTAMP,
  updated_at TIMESTAMP
);

CREATE TABLE ${schema}.experiment_assignments (
  user_id TEXT,
  experiment_id TEXT,
  experiment_name TEXT,
  assignment TEXT,
  added_at TIMESTAMP,
  churn_risk DOUBLE PRECISION,
  offer JSON
);

CREATE TABLE ${schema}.orders (
  order_id BIGINT,
  customer_id BIGINT,
  ordered_at TIMESTAMP,
  amount NUMERIC(12, 2)
);
