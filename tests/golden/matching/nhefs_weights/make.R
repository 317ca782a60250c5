# Makes the numbers of expected.json. nhefs_complete.csv: the data set of that name in the Python package causaldata.
library(WeightIt)
d <- read.csv("nhefs_complete.csv")
for (name in c("education", "exercise", "active")) d[[name]] <- factor(d[[name]])
score <- qsmk ~ sex + race + age + I(age^2) + education + smokeintensity + I(smokeintensity^2) + smokeyrs +
  I(smokeyrs^2) + exercise + active + wt71 + I(wt71^2)
w <- weightit(score, d, method = "glm", estimand = "ATE")
fit <- lm_weightit(wt82_71 ~ qsmk, d, weightit = w, vcov = "asympt")
estimate <- coef(fit)[["qsmk"]]
se <- sqrt(vcov(fit)["qsmk", "qsmk"])
df <- nrow(d) - 1
print(c(estimate, se, estimate + c(-1, 1) * qt(0.975, df) * se, 2 * pt(-abs(estimate / se), df)), digits = 17)
