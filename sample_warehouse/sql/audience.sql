-- audience: the source query of the story, in the spelling a user would write.
select customer_id, user_id, email, first_name, plan, churn_risk from ${prefix}customers${condition}
